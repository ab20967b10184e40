# Writes $input, lines of base64, to a file below a folder: first to a temporary one, which replaces it when it is whole.
param([string]$root, [string]$path, [bool]$any, [string]$part, [long]$size, [string]$digest)
$ErrorActionPreference = 'Stop'
$temporary = $null; $stream = $null
try {
    $base = [IO.Path]::GetFullPath([Environment]::ExpandEnvironmentVariables($root)).TrimEnd('\')
    [void][IO.Directory]::CreateDirectory($base)
    $target = [IO.Path]::GetFullPath([IO.Path]::Combine($base, $path))
    if (-not $any -and -not $target.StartsWith($base + '\', [StringComparison]::OrdinalIgnoreCase)) { throw "$target is not below $base" }
    $folder = [IO.Path]::GetDirectoryName($target)
    for ($each = $folder; $each -and $each.Length -gt $base.Length; $each = [IO.Path]::GetDirectoryName($each)) {
        if ((Test-Path -LiteralPath $each) -and ((Get-Item -LiteralPath $each -Force).Attributes -band [IO.FileAttributes]::ReparsePoint)) { throw "$each is a link" }
    }
    [void][IO.Directory]::CreateDirectory($folder)
    if (Test-Path -LiteralPath $target -PathType Container) { throw "$target is a folder" }
    $temporary = [IO.Path]::Combine($folder, $part)
    $stream = New-Object IO.FileStream $temporary, 'CreateNew', 'Write', 'None'
    $hash = [Security.Cryptography.SHA256]::Create()
    foreach ($line in $input) {
        $bytes = [Convert]::FromBase64String($line)
        $stream.Write($bytes, 0, $bytes.Length)
        [void]$hash.TransformBlock($bytes, 0, $bytes.Length, $null, 0)
    }
    [void]$hash.TransformFinalBlock((New-Object byte[] 0), 0, 0)
    $stream.Flush($true)
    $written = $stream.Length
    $stream.Close(); $stream = $null
    $found = ([BitConverter]::ToString($hash.Hash) -replace '-', '').ToLowerInvariant()
    if ($written -ne $size -or $found -ne $digest) { throw "it arrived with $written bytes and SHA-256 $found, not as it was sent" }
    Move-Item -LiteralPath $temporary -Destination $target -Force
    $temporary = $null
    ConvertTo-Json -Compress @{ size_bytes = $written; sha256 = $found; path = $target }
} catch {
    if ($stream) { try { $stream.Close() } catch { } }
    if ($temporary) { Remove-Item -LiteralPath $temporary -Force -ErrorAction SilentlyContinue }
    ConvertTo-Json -Compress @{ error = $_.Exception.GetBaseException().Message }
    exit 1
}
