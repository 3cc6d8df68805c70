"""What came from outside: text on its way to a person or a file, small files read with a limit. No torch here."""
