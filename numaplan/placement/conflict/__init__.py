"""Why guests have no place: a smallest set of wishes that cannot all hold."""
