"""The command line: one function a verb. Nothing heavy is imported before the verb that needs it runs."""
