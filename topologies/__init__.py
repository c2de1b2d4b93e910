"""The wiring: stages as agents of one Faust app, the worker, and the command line. One file a box of the drawing."""
