"""Hours under steady load with bursts, faults and rolling restarts, and whether anything grows meanwhile."""
