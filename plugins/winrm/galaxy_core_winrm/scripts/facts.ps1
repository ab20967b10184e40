# Prints one line of JSON: what this host is, and where its folder for files is.
param([string]$root)
$found = @{
    hostname = [Environment]::MachineName
    powershell = $PSVersionTable.PSVersion.ToString()
    windows_version = [Environment]::OSVersion.Version.ToString()
    cpu_count = [Environment]::ProcessorCount.ToString()
    architecture = [string]$env:PROCESSOR_ARCHITECTURE
    user = [Environment]::UserDomainName + '\' + [Environment]::UserName
    root = [IO.Path]::GetFullPath([Environment]::ExpandEnvironmentVariables($root)).TrimEnd('\')
}
$system = Get-CimInstance -ClassName Win32_OperatingSystem -ErrorAction SilentlyContinue
if ($system) { $found.windows = $system.Caption; $found.windows_version = $system.Version }
$computer = Get-CimInstance -ClassName Win32_ComputerSystem -ErrorAction SilentlyContinue
if ($computer) { $found.domain = $computer.Domain }
ConvertTo-Json -Compress $found
