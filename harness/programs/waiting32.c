/* A 32-bit program of Linux alone, without any library: it waits in nanosleep again and again until
 * keyctl(99) returns another errno, then likewise in poll, then it computes; the file OUT has 0, then,
 * in hexadecimal, how often a call or the computed number was wrong, and what keyctl(99) returned.
 * Then it pauses until it is killed.
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

static int compute(void)
{
	unsigned sum = 1;
	for (volatile unsigned at = 0; at < 9000000; at++)
		sum = sum * 1664525 + 1013904223;
	return sum != 0x3370ae41;
}

static int keyctl(void) { return call(288, 99, 0, 0); }

__attribute__((used)) void begin(int *stack)
{
	int tenth[2] = { 0, 100000000 }, before, now = keyctl();

	out = call(5, stack[2], 02101, 0600);
	print(0);
	for (int step = 0; step < 3; step++) {
		int wrong = 0;
		for (before = now; now == before; now = keyctl())
			wrong += step == 0 ? call(162, (int)tenth, 0, 0) != 0
			       : step == 1 ? call(168, 0, 0, 100) != 0 : compute();
		print(wrong);
		print(now);
	}
	for (;;) /* whoever ends is tightened by nobody */
		call(29, 0, 0, 0);
}
