//! /proc/self/cgroup and the cgroup lines of /proc/self/mountinfo, with those that give a container engine away.

/// Hybrid: v1 controllers each on their own, and a v2 hierarchy beside them.
pub const HYBRID: (&str, &str) = (
    "9:name=systemd:/\n8:pids:/\n7:blkio:/\n6:freezer:/\n5:devices:/\n4:memory:/workers/7\n3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n",
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
",
);

/// v1 under systemd, a login session: cpu and cpuacct together.
pub const V1: (&str, &str) = (
    "12:pids:/user.slice/user-1000.slice/session-2.scope
11:memory:/user.slice/user-1000.slice/session-2.scope
10:devices:/user.slice
9:rdma:/
8:blkio:/user.slice
7:freezer:/
6:cpu,cpuacct:/user.slice
5:cpuset:/
4:net_cls,net_prio:/
3:perf_event:/
2:hugetlb:/
1:name=systemd:/user.slice/user-1000.slice/session-2.scope
",
    "26 25 0:23 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
28 26 0:25 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
33 26 0:30 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,net_cls,net_prio
34 26 0:31 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,cpuset
35 26 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:18 - cgroup cgroup rw,cpu,cpuacct
36 26 0:33 / /sys/fs/cgroup/freezer rw,nosuid,nodev,noexec,relatime shared:19 - cgroup cgroup rw,freezer
37 26 0:34 / /sys/fs/cgroup/blkio rw,nosuid,nodev,noexec,relatime shared:20 - cgroup cgroup rw,blkio
40 26 0:37 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:23 - cgroup cgroup rw,memory
41 26 0:38 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:24 - cgroup cgroup rw,pids
",
);

/// v2 under systemd: a scope of a user's manager.
pub const USER_SLICE: (&str, &str) = (
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1f0.scope\n",
    "24 29 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
",
);

/// Docker on v2, with the private cgroup namespace that is its default there.
pub const DOCKER_V2: (&str, &str) = (
    "0::/\n",
    "1051 720 0:62 / / rw,relatime master:312 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B
1054 1051 0:66 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
1055 1054 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
1058 1051 8:1 /var/lib/docker/containers/9f1c0a/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
",
);

/// Docker on v1, in the host's cgroup namespace.
pub const DOCKER_V1: (&str, &str) = (
    "11:memory:/docker/9f1c0a\n10:pids:/docker/9f1c0a\n6:cpu,cpuacct:/docker/9f1c0a\n0::/system.slice/containerd.service\n",
    "712 705 0:67 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
722 712 0:32 /docker/9f1c0a /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:18 - cgroup cgroup rw,cpu,cpuacct
727 712 0:37 /docker/9f1c0a /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:23 - cgroup cgroup rw,memory
728 712 0:38 /docker/9f1c0a /sys/fs/cgroup/pids ro,nosuid,nodev,noexec,relatime master:24 - cgroup cgroup rw,pids
",
);

/// Rootless Podman on v2, with /sys/fs/cgroup unmasked: a second mount over the one that came with /sys.
pub const PODMAN: (&str, &str) = (
    "0::/\n",
    "820 819 0:22 / /sys ro,nosuid,nodev,noexec,relatime master:7 - sysfs sysfs rw
825 820 0:30 /user.slice/user-1000.slice /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime master:9 - cgroup2 cgroup2 rw,nsdelegate
831 825 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
835 819 0:26 /containers/overlay-containers/b07e/userdata/.containerenv /run/.containerenv rw,nosuid,nodev,relatime - tmpfs tmpfs rw,uid=1000
",
);
