# Says what became of an attempt that was to leave a marker. While it still runs, waits up to $wait seconds.
param([string]$run, [string]$attempt, [int]$wait)
$base = [Environment]::GetFolderPath('LocalApplicationData')
if (-not $base) { $base = [IO.Path]::GetTempPath() }
$folder = [IO.Path]::Combine($base, 'galaxy', 'marks', $run)
$place = [IO.Path]::Combine($folder, $attempt)
function Say([string]$word, [string]$about) {
    ConvertTo-Json -Compress @{ word = $word; about = $about }
    exit 0
}
function Read([string]$path) {
    try {
        $file = New-Object System.IO.FileStream -ArgumentList $path, 'Open', 'Read', 'ReadWrite'
        try { (New-Object System.IO.StreamReader $file).ReadToEnd() } finally { $file.Close() }
    } catch { '' }
}
function SayEnd {
    if ((Read "$place.end") -match '\A(exit|refused) (\S+)\r\n\z') { Say $Matches[1] $Matches[2] }
}
# Whether markers of the run were expected in this life of the machine.
function IsExpected {
    $first = Get-CimInstance -ClassName Win32_Process -Filter "Name = 'wininit.exe'" -ErrorAction SilentlyContinue
    [bool]($first -and (Read "$folder\boot") -eq ($first.CreationDate.ToUniversalTime().Ticks.ToString() + "`r`n"))
}
if (-not [IO.File]::Exists("$place.start")) {
    if (IsExpected) {
        try {
            $fence = New-Object System.IO.FileStream -ArgumentList "$place.start", 'CreateNew', 'Write', 'Read'
            $text = [Text.Encoding]::ASCII.GetBytes("refused asked`r`n")
            $fence.Write($text, 0, $text.Length)
            $fence.Close()
        } catch { }
    }
    if (-not [IO.File]::Exists("$place.start")) { Say 'unknown' 'absent' }
}
$clock = [Diagnostics.Stopwatch]::StartNew()
while ($true) {
    SayEnd
    $said = Read "$place.start"
    if ($said -match '\Arefused (\S+)\r\n\z') {
        $about = $Matches[1]
        if ($about -eq 'stopped' -and -not (IsExpected)) { Say 'unknown' 'absent' }
        Say 'refused' $about
    }
    $held = $false
    try { (New-Object System.IO.FileStream -ArgumentList "$place.start", 'Open', 'Write', 'ReadWrite').Close() } catch { $held = $true }
    if (-not $held) {
        SayEnd
        if ($said) { Say 'unknown' 'ended' } else { Say 'unknown' 'began' }
    }
    if ($clock.Elapsed.TotalSeconds -ge $wait) { Say 'running' '' }
    Start-Sleep -Milliseconds 100
}
