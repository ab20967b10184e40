# Ends what still runs of an attempt: processes with its mark in their command line, and all that these have started.
# $fence: whether it was to leave a marker, and is to be kept from starting.
param([string]$mark, [string]$run, [string]$attempt, [bool]$fence)
if ($fence) {
    $base = [Environment]::GetFolderPath('LocalApplicationData')
    if (-not $base) { $base = [IO.Path]::GetTempPath() }
    $place = [IO.Path]::Combine($base, 'galaxy', 'marks', $run, $attempt)
    try {
        [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($place))
        $file = New-Object System.IO.FileStream -ArgumentList "$place.start", 'CreateNew', 'Write', 'Read'
        $text = [Text.Encoding]::ASCII.GetBytes("refused stopped`r`n")
        $file.Write($text, 0, $text.Length)
        $file.Close()
    } catch { }
}
$known = @{}
$left = 0
foreach ($round in 1..40) {
    $all = @(Get-CimInstance -ClassName Win32_Process)
    $ours = @{}
    foreach ($one in $all) {
        $is = $known[[string]$one.ProcessId] -eq $one.CreationDate
        if ($is -or ($one.CommandLine -and $one.CommandLine.Contains("GALAXY_MARK=$mark"))) {
            $ours[[string]$one.ProcessId] = $one.CreationDate
        }
    }
    # Numbers of processes are given again: a parent is older than its children.
    foreach ($id in @($ours.Keys)) { $known[$id] = $ours[$id] }
    do {
        $more = $false
        foreach ($one in $all) {
            $id, $parent = [string]$one.ProcessId, [string]$one.ParentProcessId
            if (-not $ours.ContainsKey($id) -and $known.ContainsKey($parent) -and $one.CreationDate -ge $known[$parent]) {
                $ours[$id] = $one.CreationDate
                $known[$id] = $one.CreationDate
                $more = $true
            }
        }
    } while ($more)
    $left = $ours.Count
    if (-not $left) { break }
    foreach ($id in $ours.Keys) { Stop-Process -Id ([int]$id) -Force -ErrorAction SilentlyContinue }
    Start-Sleep -Milliseconds 25
}
ConvertTo-Json -Compress @{ left = $left }
