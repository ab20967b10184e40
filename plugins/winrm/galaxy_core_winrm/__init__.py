"""The transport of Galaxy for Windows hosts behind WinRM, and a simulated Windows host."""
