"""What a process is: its command line, the scheduler, the figures that it shows, and whether it is set up well."""
