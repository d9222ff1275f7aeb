#include "reverie/apps/program.h"

int main(int argc, char** argv) { return reverie::RunProgram(argc, argv); }
