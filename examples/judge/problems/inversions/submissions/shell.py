# Looks around, by means of another program.
import subprocess

print(subprocess.run(["cat", "/etc/shadow"], capture_output=True, check=True).stdout)
