# Read by the boot kit and by deploy/image/raspios.sh: what a Raspberry Pi OS gets besides our packages.
needed="mosquitto mosquitto-clients python3-picamera2 avahi-daemon"

software_of() { # the name of an accelerator: the package of its software; 1 for a name that is none
    case $1 in
    coral) echo libedgetpu1-std ;;
    hailo) echo hailo-all ;;
    imx500) echo imx500-all ;;
    *) return 1 ;;
    esac
}
