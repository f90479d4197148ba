import platform

platform.machine = lambda: "aarch64"  # the board that its caller asks for


def get_host_os_platform():
    return "Linux_aarch64"


def get_librknn_api_require_dll_dir():
    raise AssertionError("for Windows")


def list_support_target_platform(rknn_model):
    return {}
