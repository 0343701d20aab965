"""The connection doctor: every link from Meta to the reply, each line with its cure."""
