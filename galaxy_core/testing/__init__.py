"""What plugin authors test with: fakes and virtual time. Needs the extra `testing` (pytest, trio, hypothesis)."""
