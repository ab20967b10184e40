# Markers as a whole: removes what is released or old, and notes that attempts of a run are to leave some. $expect: that run.
param([string]$expect, $released, [int]$days)
$base = [Environment]::GetFolderPath('LocalApplicationData')
if (-not $base) { $base = [IO.Path]::GetTempPath() }
$marks = [IO.Path]::Combine($base, 'galaxy', 'marks')
$runs = @{}
foreach ($name in @($released)) {
    if (-not $name) { continue }
    $runs[$name.Split('\')[0]] = $true
    foreach ($suffix in '.start', '.end') {
        try { [IO.File]::Delete([IO.Path]::Combine($marks, "$name$suffix")) } catch { continue }
    }
}
if ([IO.Directory]::Exists($marks)) {
    foreach ($folder in [IO.Directory]::GetDirectories($marks)) {
        if ([IO.Directory]::GetLastWriteTimeUtc($folder) -lt [DateTime]::UtcNow.AddDays(-$days)) {
            # Whoever asks while it goes, or after that was cut short, is told nothing by what is missing, without `boot`.
            try {
                [IO.File]::Delete([IO.Path]::Combine($folder, 'boot'))
                [IO.Directory]::Delete($folder, $true)
            } catch { continue }
        }
    }
}
foreach ($run in $runs.Keys) {
    $folder = [IO.Path]::Combine($marks, $run)
    $left = @(Get-ChildItem -LiteralPath $folder -ErrorAction SilentlyContinue)
    if ($left.Count -gt 1 -or ($left.Count -eq 1 -and $left[0].Name -ne 'boot')) { continue }
    # A folder that is not empty any more stays; without `boot`, nothing is concluded from what is not there.
    try {
        [IO.File]::Delete([IO.Path]::Combine($folder, 'boot'))
        [IO.Directory]::Delete($folder, $false)
    } catch { continue }
}
$expected = $false
if ($expect) {
    $folder = [IO.Path]::Combine($marks, $expect)
    # A folder that is there without `boot` may be on its way out: it is left as it is.
    if (-not [IO.Directory]::Exists($folder)) {
        [void][IO.Directory]::CreateDirectory($folder)
        $first = Get-CimInstance -ClassName Win32_Process -Filter "Name = 'wininit.exe'" -ErrorAction SilentlyContinue
        if ($first) {
            [IO.File]::WriteAllText("$folder\boot", $first.CreationDate.ToUniversalTime().Ticks.ToString() + "`r`n")
        }
    }
    $expected = [IO.File]::Exists("$folder\boot")
}
ConvertTo-Json -Compress @{ expected = $expected }
