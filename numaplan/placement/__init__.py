"""Requests and a snapshot in, a proven plan or the reason why there is none out. Pure: no file, no environment."""
