# Starts a program with a ready command line, without cmd.exe. $input: its standard input, in lines of base64.
param([string]$mark, [string]$program, [string]$arguments)
$start = New-Object System.Diagnostics.ProcessStartInfo
$start.FileName = $program
$start.Arguments = $arguments
$start.UseShellExecute = $false
$start.RedirectStandardInput = $true
$start.WorkingDirectory = (Get-Location -PSProvider FileSystem).ProviderPath
try { $process = [Diagnostics.Process]::Start($start) } catch {
    [Console]::Error.WriteLine("galaxy: not started ${mark}: " + $_.Exception.GetBaseException().Message)
    exit 126
}
$stream = $process.StandardInput.BaseStream
try {
    foreach ($line in $input) {
        $bytes = [Convert]::FromBase64String($line)
        $stream.Write($bytes, 0, $bytes.Length)
        $stream.Flush()
    }
} catch [System.IO.IOException] { }
try { $stream.Close() } catch [System.IO.IOException] { }
$process.WaitForExit()
exit $process.ExitCode
