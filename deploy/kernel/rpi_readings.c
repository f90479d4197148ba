// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a Raspberry Pi's firmware measures, for user space, where the kernel has no file of its own:
 * /sys/bus/platform/devices/rpi-readings/{get_throttled,temperature,core_voltage,arm_clock,...}
 *
 * Reading changes nothing: the request for the throttle flags clears none of them, so bits 16 to 19
 * stay "since boot". What the firmware does not know is EOPNOTSUPP, and is asked only once.
 */
#include <linux/bitops.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_platform.h>
#include <linux/platform_device.h>
#include <linux/sysfs.h>
#include <soc/bcm2835/raspberrypi-firmware.h>

#define ANSWERED	BIT(31)
#define CORE_VOLTAGE	1

struct reading {
	struct device_attribute attr;
	u32 tag;
	u32 words;		/* 1: a value; 2: what of, and its value */
	u32 of;
	const char *format;
};

struct readings {
	struct rpi_firmware *firmware;
	unsigned long unknown;	/* a bit for each of all[] */
};

static ssize_t show(struct device *dev, struct device_attribute *attr, char *text);

#define READING(_name, _tag, _words, _of, _format) {				\
	.attr = __ATTR(_name, 0444, show, NULL),				\
	.tag = _tag, .words = _words, .of = _of, .format = _format,		\
}

static struct reading all[] = {
	READING(get_throttled, RPI_FIRMWARE_GET_THROTTLED, 1, 0, "%x\n"),
	/* millidegrees Celsius */
	READING(temperature, RPI_FIRMWARE_GET_TEMPERATURE, 2, 0, "%u\n"),
	/* microvolts */
	READING(core_voltage, RPI_FIRMWARE_GET_VOLTAGE, 2, CORE_VOLTAGE, "%u\n"),
	/* Hz: measured, and as set */
	READING(arm_clock, RPI_FIRMWARE_GET_CLOCK_MEASURED, 2, RPI_FIRMWARE_ARM_CLK_ID, "%u\n"),
	READING(arm_clock_set, RPI_FIRMWARE_GET_CLOCK_RATE, 2, RPI_FIRMWARE_ARM_CLK_ID, "%u\n"),
};

static int ask(struct rpi_firmware *firmware, const struct reading *reading, u32 *value)
{
	struct {
		struct rpi_firmware_property_tag_header head;
		__le32 words[2];
	} packet = {
		.head = { .tag = reading->tag, .buf_size = 4 * reading->words },
		.words = { cpu_to_le32(reading->of) },
	};
	int ret = rpi_firmware_property_list(firmware, &packet,
					     sizeof(packet.head) + 4 * reading->words);

	if (ret == -EINVAL)	/* the firmware could not parse the request */
		return -EOPNOTSUPP;
	if (ret)
		return ret;
	/* The list as a whole succeeds even if nothing answered this tag. */
	if (!(packet.head.req_resp_size & ANSWERED) || !(packet.head.req_resp_size & ~ANSWERED))
		return -EOPNOTSUPP;
	*value = le32_to_cpu(packet.words[reading->words - 1]);
	return 0;
}

static ssize_t show(struct device *dev, struct device_attribute *attr, char *text)
{
	const struct reading *reading = container_of(attr, struct reading, attr);
	struct readings *readings = dev_get_drvdata(dev);
	int number = reading - all;
	u32 value;
	int ret;

	if (test_bit(number, &readings->unknown))
		return -EOPNOTSUPP;
	ret = ask(readings->firmware, reading, &value);
	if (ret == -EOPNOTSUPP)
		set_bit(number, &readings->unknown);
	return ret ? ret : sysfs_emit(text, reading->format, value);
}

static struct attribute *readings_attrs[ARRAY_SIZE(all) + 1];
ATTRIBUTE_GROUPS(readings);

static int probe(struct platform_device *device)
{
	struct readings *readings = devm_kzalloc(&device->dev, sizeof(*readings), GFP_KERNEL);

	if (!readings)
		return -ENOMEM;
	readings->firmware = devm_rpi_firmware_get(&device->dev, device->dev.parent->of_node);
	if (!readings->firmware)
		return -EPROBE_DEFER;
	platform_set_drvdata(device, readings);
	return 0;
}

static struct platform_driver driver = {
	.probe = probe,
	.driver = { .name = "rpi-readings", .dev_groups = readings_groups },
};

static struct platform_device *device;

static int __init begin(void)
{
	struct device_node *node = rpi_firmware_find_node();
	struct platform_device *firmware = node ? of_find_device_by_node(node) : NULL;
	int i, ret;

	of_node_put(node);
	if (!firmware)
		return -ENODEV;
	for (i = 0; i < ARRAY_SIZE(all); i++)
		readings_attrs[i] = &all[i].attr.attr;
	ret = platform_driver_register(&driver);
	if (!ret) {
		device = platform_device_register_data(&firmware->dev, "rpi-readings",
						       PLATFORM_DEVID_NONE, NULL, 0);
		ret = PTR_ERR_OR_ZERO(device);
		if (ret)
			platform_driver_unregister(&driver);
	}
	put_device(&firmware->dev);
	return ret;
}
module_init(begin);

static void __exit end(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&driver);
}
module_exit(end);

/* Loaded by udev where the device tree has the firmware's node. */
static const struct of_device_id nodes[] = {
	{ .compatible = "raspberrypi,bcm2835-firmware" },
	{}
};
MODULE_DEVICE_TABLE(of, nodes);

MODULE_DESCRIPTION("Readings of the Raspberry Pi's firmware, read-only");
MODULE_LICENSE("GPL");
