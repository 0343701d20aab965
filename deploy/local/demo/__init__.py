"""`make demo`: a story played against the running stack, with a check beside each line.

The simulator plays Facebook and is the judge as well: what arrived, in which order and how often is
read from its record, never from the services.
"""
