# Removes the temporary files that transfers left which were stopped half-way.
param([string]$root, [object[]]$paths, [bool]$any)
$base = [IO.Path]::GetFullPath([Environment]::ExpandEnvironmentVariables($root)).TrimEnd('\')
$left = 0
foreach ($path in $paths) {
    $full = [IO.Path]::GetFullPath([IO.Path]::Combine($base, $path))
    if (-not $any -and -not $full.StartsWith($base + '\', [StringComparison]::OrdinalIgnoreCase)) { continue }
    if ([IO.Path]::GetExtension($full) -ne '.part') { continue }
    Remove-Item -LiteralPath $full -Force -ErrorAction SilentlyContinue
    if (Test-Path -LiteralPath $full) { $left += 1 }
}
ConvertTo-Json -Compress @{ left = $left }
