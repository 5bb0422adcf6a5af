/* A container's only process, simple enough that CRIU can bring it back on any machine. */
#include <unistd.h>

int main(void)
{
    for (;;)
        pause();
}
