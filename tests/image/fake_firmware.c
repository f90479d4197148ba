// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests only: answers in place of a firmware that knows few tags. What the kernel's firmware
 * driver brings back for the throttle flags is replaced by parameters.
 */
#include <linux/bitops.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <soc/bcm2835/raspberrypi-firmware.h>

static uint throttled, voltage, clock, asked, request;
static int fail;
module_param(throttled, uint, 0644);
module_param(voltage, uint, 0644);
module_param(clock, uint, 0644);
module_param(fail, int, 0644);
module_param(asked, uint, 0644);
module_param(request, uint, 0444);

struct call { u32 *packet; };

static int enter(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct call *call = (void *)instance->data;

	call->packet = (u32 *)regs->regs[1];
	if (call->packet[0] == RPI_FIRMWARE_GET_THROTTLED) {
		asked++;
		request = call->packet[3];
	}
	return 0;
}

static int leave(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	u32 *packet = ((struct call *)instance->data)->packet;

	switch (packet[0]) {
	case RPI_FIRMWARE_GET_THROTTLED:
		packet[2] = BIT(31) | 4;
		packet[3] = throttled;
		regs->regs[0] = fail;
		break;
	case RPI_FIRMWARE_GET_VOLTAGE:
		packet[2] = BIT(31) | 8;
		packet[4] = packet[3] == 1 ? voltage : 0;
		break;
	case RPI_FIRMWARE_GET_CLOCK_MEASURED:
		packet[2] = BIT(31) | 8;
		packet[4] = packet[3] == 3 ? clock : 0;
		break;
	}
	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name = "rpi_firmware_property_list",
	.entry_handler = enter,
	.handler = leave,
	.data_size = sizeof(struct call),
	.maxactive = 8,
};

static int __init begin(void) { return register_kretprobe(&probe); }
static void __exit end(void) { unregister_kretprobe(&probe); }
module_init(begin);
module_exit(end);
MODULE_LICENSE("GPL");
