#include "console.h"

#include "cpu.h"

enum { COM1 = 0x3F8, LINE_STATUS = COM1 + 5, DATA_READY = 0x01, SEND_EMPTY = 0x20 };

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

static struct gate gates[32];
extern const char fault_stub[];

void console_init(void)
{
    out8(COM1 + 1, 0);    /* no interrupts: all is polled */
    out8(COM1 + 3, 0x03); /* 8 bits, and the data register, not the divisor */
    out8(COM1 + 2, 0);    /* no FIFO: what is not read yet waits in the socket */

    uint64_t stub = (uint64_t)fault_stub;
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++) {
        gates[i] = (struct gate){.offset_low = (uint16_t)stub, .selector = 0x18, .type = 0x8E};
        gates[i].offset_middle = (uint16_t)(stub >> 16);
    }
    console_faults();
}

void console_faults(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof gates - 1, (uint64_t)gates};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

int console_poll(void)
{
    return in8(LINE_STATUS) & DATA_READY ? in8(COM1) : -1;
}

static void say(const char *text)
{
    for (; *text; text++) {
        for (int patience = 100000; patience && !(in8(LINE_STATUS) & SEND_EMPTY); patience--) {
        }
        out8(COM1, (uint8_t)*text);
    }
}

_Noreturn void give_up(const char *words, uint64_t value)
{
    char digits[] = " 0x0000000000000000\n";
    for (int i = 18; i > 2; i--, value >>= 4) {
        digits[i] = "0123456789abcdef"[value & 15];
    }
    say("labctl guest: ");
    say(words);
    say(digits);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* Some exceptions push an error code: either the first or the second word is the address. */
_Noreturn void fault(const uint64_t *frame);
_Noreturn void fault(const uint64_t *frame)
{
    give_up("fault at", frame[0] < 0x100000 ? frame[1] : frame[0]);
}
