"""Small programs that scenarios run in the guarded container or beside it. Each stands alone."""
