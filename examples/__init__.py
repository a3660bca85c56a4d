"""Small programs to read, run and begin from."""
