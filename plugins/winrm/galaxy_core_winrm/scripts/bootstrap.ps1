# First line of standard input: base64 of UTF-8 JSON {"script", "parameters"}. The lines after it are the script's $input.
$ProgressPreference = 'SilentlyContinue'
$ErrorActionPreference = 'Stop'
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
$OutputEncoding = [Console]::OutputEncoding
[void]$input.MoveNext()
$payload = ConvertFrom-Json ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($input.Current)))
$parameters = @{}
foreach ($property in $payload.parameters.PSObject.Properties) { $parameters[$property.Name] = $property.Value }
$block = [ScriptBlock]::Create($payload.script)
$global:LASTEXITCODE = 0
$ErrorActionPreference = 'Continue'
try { $input | & $block @parameters } catch { Write-Error -ErrorRecord $_; exit 1 }
exit $global:LASTEXITCODE
