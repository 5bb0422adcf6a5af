/* A 32-bit program of Linux alone, without any library: NUMBER... makes each i386 call in a child,
 * and prints its errno. `self NUMBER...` does so after an execve of itself. */
__attribute__((naked, used)) void _start(void)
{
    __asm__("mov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall begin\n\thlt");
}

static int call(int number, int a, int b, int c, int d)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

static void print(int value)
{
    char text[16];
    int at = 16;
    text[--at] = '\n';
    do
        text[--at] = (char)('0' + value % 10);
    while (value /= 10);
    call(4, 1, (int)(text + at), 16 - at, 0);
}

static int number_in(const char *word)
{
    int value = 0;
    while (*word >= '0' && *word <= '9')
        value = value * 10 + *word++ - '0';
    return value;
}

__attribute__((used)) void begin(int *stack)
{
    int count = stack[0], status;
    char **words = (char **)(stack + 1);
    if (count > 1 && words[1][0] == 's') {
        words[1] = words[0];
        call(11, (int)"/proc/self/exe", (int)(words + 1), (int)(words + count + 1), 0);
        call(1, 3, 0, 0, 0);
    }
    for (int i = 1; i < count; i++) {
        int child = call(2, 0, 0, 0, 0);
        if (child == 0) {
            int result = call(number_in(words[i]), -1, -1, -1, -1);
            print(result < 0 && result > -4096 ? -result : 0);
            call(1, 0, 0, 0, 0);
        }
        call(7, child, (int)&status, 0, 0);
    }
    call(1, 0, 0, 0, 0);
}
