"""What every room stands on: errors and exit codes, the language spoken, the sandbox, the version."""
