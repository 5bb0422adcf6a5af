/* A 32-bit program of Linux alone, without any library: it waits a second in nanosleep, a second in
 * poll, and computes for a while; the file OUT has 0, then, in hexadecimal, what these returned, and
 * what keyctl(99) returned after each.
 *   waiting32 OUT
 * cc -m32 -nostdlib -static */
__attribute__((naked, used)) void _start(void)
{
	__asm__("mov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall begin\n\thlt");
}

static int call(int number, int a, int b, int c)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

static int out;

static void print(unsigned value)
{
	char text[9];
	for (int at = 0; at < 8; at++, value <<= 4)
		text[at] = "0123456789abcdef"[value >> 28];
	text[8] = '\n';
	call(4, out, (int)text, 9);
}

static unsigned compute(void)
{
	unsigned sum = 1;
	for (volatile unsigned at = 0; at < 900000000; at++)
		sum = sum * 1664525 + 1013904223;
	return sum;
}

__attribute__((used)) void begin(int *stack)
{
	int second[2] = { 1, 0 };

	out = call(5, stack[2], 02101, 0600);
	print(0);
	print(call(162, (int)second, 0, 0));
	print(call(288, 99, 0, 0));
	print(call(168, 0, 0, 1000));
	print(call(288, 99, 0, 0));
	print(compute());
	print(call(288, 99, 0, 0));
	call(1, 0, 0, 0);
}
