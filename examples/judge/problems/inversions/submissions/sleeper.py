# Waits for something that will not happen, and uses no CPU time for it.
import time

time.sleep(1000)
