/* A machine that is nothing but an instrument: it fills its memory, writes pages at a set rate,
 * tells about every half millisecond what it has done, and checks its memory when asked. See
 * ../README.md. */

#include "beats.h"
#include "check.h"
#include "clock.h"
#include "commands.h"
#include "console.h"
#include "cpu.h"
#include "fixed.h"
#include "memory.h"
#include "options.h"
#include "smp.h"
#include "writer.h"

struct multiboot_start {
    uint32_t flags, memory[2], boot_device, command_line;
};

extern const char image_end[];

/* What build.py looks for, to know whether the image is that of the sources at hand. */
__attribute__((used)) static const char source_id[] = SOURCE_ID;

_Noreturn void guest_main(const struct multiboot_start *multiboot);

_Noreturn void guest_main(const struct multiboot_start *multiboot)
{
    console_init();
    struct options options = options_parse((const char *)(uint64_t)multiboot->command_line);
    memory_init(multiboot, (uint64_t)image_end);
    uint64_t tsc_hz = clock_calibrate();
    smp_start(options.vcpus, tsc_hz);
    writer_init(&options, tsc_hz);
    check_init(&options);
    beats_init(&options, tsc_hz);
    memory_close();
    if (options.ws_pages > memory.pages) {
        give_up("the working set does not fit; bytes there are:", memory.pages * PAGE_SIZE);
    }
    beats_tick();
    fixed_init();
    guest_vcpu(0);
}

_Noreturn void guest_vcpu(uint32_t vcpu)
{
    if (vcpu == 0) {
        beats_phase(PHASE_FILL);
    }
    check_fill(vcpu);
    if (vcpu == 0) {
        writer_start();
    }
    smp_barrier(vcpu);
    for (;;) {
        uint32_t order = commands_order();
        if (order_is_check(order)) {
            check_memory(vcpu);
            while (commands_order() == order) {
                if (vcpu == 0) {
                    beats_tick();
                }
                relax();
            }
        } else {
            if (vcpu == 0) {
                beats_phase(PHASE_RUN);
            }
            writer_run(vcpu, order);
        }
    }
}
