"""Rules in a plan file that edit the running plan when a task fails. See docs/reference/replan.md."""
