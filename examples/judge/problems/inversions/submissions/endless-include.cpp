// An attack on the compiler.
#include "/dev/urandom"
int main() {}
