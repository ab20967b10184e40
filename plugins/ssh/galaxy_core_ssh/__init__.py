"""The transport of Galaxy for hosts behind SSH, and a throw-away sshd."""
