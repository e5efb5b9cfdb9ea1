"""The reliability campaign: long runs that are killed, soaked and compared; each is a command that writes its page."""
