"""What runs over there (see `galaxy_core_ssh.bridge`): the only package that knows asyncssh."""
