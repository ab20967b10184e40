# Runs a program with a ready command line, and leaves a marker of it. $input: its standard input, in lines of base64.
param([string]$mark, [string]$run, [string]$attempt, [long]$bytes, [string]$program, [string]$arguments, $released)
function Refuse([string]$why) {
    [Console]::Error.WriteLine("galaxy: not started ${mark}: $why")
    exit 126
}
# All of it before anything starts: when a link is lost, input seems to end.
$data = New-Object System.IO.MemoryStream
foreach ($line in $input) {
    $piece = [Convert]::FromBase64String($line)
    $data.Write($piece, 0, $piece.Length)
}
$base = [Environment]::GetFolderPath('LocalApplicationData')
if (-not $base) { $base = [IO.Path]::GetTempPath() }
$marks = [IO.Path]::Combine($base, 'galaxy', 'marks')
foreach ($name in @($released)) {
    if (-not $name) { continue }
    foreach ($suffix in '.start', '.end') {
        try { [IO.File]::Delete([IO.Path]::Combine($marks, "$name$suffix")) } catch { continue }
    }
}
$place = [IO.Path]::Combine($marks, $run, $attempt)
try {
    [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($place))
    # CreateNew succeeds once; while this process lives, nobody else can open the file for writing.
    $start = New-Object System.IO.FileStream -ArgumentList "$place.start", 'CreateNew', 'Write', 'Read'
    $text = [Text.Encoding]::ASCII.GetBytes("started`r`n")
    $start.Write($text, 0, $text.Length)
    $start.Flush()
} catch { Refuse ('no marker can be made: ' + $_.Exception.GetBaseException().Message) }
if ($data.Length -ne $bytes) {
    [IO.File]::WriteAllText("$place.end", "refused input`r`n")
    Refuse 'its input did not arrive whole'
}
$how = New-Object System.Diagnostics.ProcessStartInfo
$how.FileName = $program
$how.Arguments = $arguments
$how.UseShellExecute = $false
$how.RedirectStandardInput = $true
$how.WorkingDirectory = (Get-Location -PSProvider FileSystem).ProviderPath
try { $process = [Diagnostics.Process]::Start($how) } catch {
    [IO.File]::WriteAllText("$place.end", "refused start`r`n")
    Refuse $_.Exception.GetBaseException().Message
}
try { $data.WriteTo($process.StandardInput.BaseStream) } catch [System.IO.IOException] { }
try { $process.StandardInput.BaseStream.Close() } catch [System.IO.IOException] { }
$process.WaitForExit()
[IO.File]::WriteAllText("$place.end", "exit $($process.ExitCode)`r`n")
exit $process.ExitCode
