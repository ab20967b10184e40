"""ConstellationEditor: the convenient face of edits, with undo and redo."""
