def get_support_target_soc():
    return ["RK3562", "RK3566", "RK3568", "RK3576", "RK3588"]
