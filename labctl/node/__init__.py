"""What runs on a hypervisor: the agent.

It is the only code of labctl that touches QEMU, and it knows nothing else of labctl: standard library and qemu.qmp,
Python 3.9 or newer, shipped as one zipapp. It speaks request, response and event messages (:mod:`labctl.node.protocol`)
over its stdin and stdout. When that channel closes it ends all that it started.

========================  ==================================================================
:mod:`.protocol`          the messages, as JSON lines
:mod:`.agent`             reads requests, calls the services, ends everything at end of file
:mod:`.services`          what the groups of services share
:mod:`.host_services`     the services of the host and its link
:mod:`.machine_services`  the services of the machine, its samples and its migration
:mod:`.beat_services`     the services of the observer
:mod:`.host`              who we are, the host lock, live state, what dead runs left
:mod:`.describe`          what of the host can change a result
:mod:`.probe`             what the QEMU at hand can do, asked of it
:mod:`.qemu_build`        which build of QEMU it is that runs
:mod:`.command_line`      QEMU's command line, and as whom it is started
:mod:`.machine`           one QEMU process: start, QMP, guest commands, end
:mod:`.sampler`           the 10 ms samples of QEMU and of the host
:mod:`.monitor`           the sampler's one question to QEMU, at little cost
:mod:`.procfs`            CPU, memory and interface counters
:mod:`.netlink`           questions over rtnetlink, and the counters of queueing disciplines
:mod:`.link`              the link: make, measure
:mod:`.shaping`           what leaves an interface: its rate, delay and loss
:mod:`.interfaces`        a host's own interfaces: found, kept, set back
:mod:`.rdma`              the RDMA port of an interface, and where QEMU listens on it
:mod:`.rdma_counters`     what that port has carried
:mod:`.rdma_questions`    what a QEMU says of migrations by RDMA
:mod:`.packets`           whether packets of a size pass
:mod:`.commands`          commands of iproute2
:mod:`.migration`         runs a schedule on one end, without asking anybody above
:mod:`.passes`            how many passes over the memory are over
:mod:`.observer`          receives the guest's beats
:mod:`.inlets`            where they come from: a pipe, or a relay
:mod:`.relay`             carries those of another host
:mod:`.beats`             the format of the beat stream
:mod:`.patience`          how much longer than usual all of it waits
:mod:`.local_pipes`       named pipes between the processes of one host
========================  ==================================================================
"""

AGENT_VERSION = 1
