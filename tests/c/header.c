/* Compiled as C99, C11, C++17 and C++20: the header stands alone, and may come twice. */
#include "braid.h"
#include "braid.h"

int braid_header_compiles(void);
int braid_header_compiles(void) {
    return (int)braid_abi_version() - BRAID_ABI_VERSION;
}
