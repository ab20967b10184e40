# Prints a file below a folder: a line of JSON with its size, lines of base64, a line of JSON with its size and SHA-256.
param([string]$root, [string]$path, [bool]$any)
$ErrorActionPreference = 'Stop'
$stream = $null
try {
    $base = [IO.Path]::GetFullPath([Environment]::ExpandEnvironmentVariables($root)).TrimEnd('\')
    $source = [IO.Path]::GetFullPath([IO.Path]::Combine($base, $path))
    if (-not $any -and -not $source.StartsWith($base + '\', [StringComparison]::OrdinalIgnoreCase)) { throw "$source is not below $base" }
    if (Test-Path -LiteralPath $source -PathType Container) { throw "$source is a folder" }
    for ($each = $source; $each -and $each.Length -gt $base.Length; $each = [IO.Path]::GetDirectoryName($each)) {
        if ((Test-Path -LiteralPath $each) -and ((Get-Item -LiteralPath $each -Force).Attributes -band [IO.FileAttributes]::ReparsePoint)) { throw "$each is a link" }
    }
    $stream = New-Object IO.FileStream $source, 'Open', 'Read', 'Read'
    [Console]::Out.WriteLine((ConvertTo-Json -Compress @{ size_bytes = $stream.Length }))
    $hash = [Security.Cryptography.SHA256]::Create()
    $buffer = New-Object byte[] 196608
    $total = 0
    while (($count = $stream.Read($buffer, 0, $buffer.Length)) -gt 0) {
        [void]$hash.TransformBlock($buffer, 0, $count, $null, 0)
        [Console]::Out.WriteLine([Convert]::ToBase64String($buffer, 0, $count))
        $total += $count
    }
    [void]$hash.TransformFinalBlock((New-Object byte[] 0), 0, 0)
    $found = ([BitConverter]::ToString($hash.Hash) -replace '-', '').ToLowerInvariant()
    [Console]::Out.WriteLine((ConvertTo-Json -Compress @{ size_bytes = $total; sha256 = $found }))
} catch {
    [Console]::Out.WriteLine((ConvertTo-Json -Compress @{ error = $_.Exception.GetBaseException().Message }))
    exit 1
} finally { if ($stream) { $stream.Close() } }
