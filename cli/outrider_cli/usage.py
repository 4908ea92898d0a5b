"""What the sidecar itself takes: memory and processor time of its processes, by psutil."""

import psutil


def usage_of(pid: int) -> dict[str, float]:
    """Resident memory in MiB and processor time in seconds, of a process, its parent and that one's children.

    Empty where the processes cannot be read. Memory is resident, shared pages counted for each.
    """
    try:
        supervisor = psutil.Process(pid).parent()
        if supervisor is None:
            return {}
        family = [supervisor, *supervisor.children()]
        memory = sum(process.memory_info().rss for process in family) / 2**20
        times = [process.cpu_times() for process in family]
    except psutil.Error:
        return {}
    return {
        "processes": float(len(family)),
        "resident_mib": round(memory, 1),
        "cpu_s": round(sum(each.user + each.system for each in times), 2),
    }
