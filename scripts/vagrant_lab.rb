# What the Vagrantfile leaves to it: which machines there are; the inventory that labctl reads, of machines that are up; and
# the playbooks that make a lab of them. The inventory needs nothing but Ruby; the playbooks need labctl.

require "fileutils"
require "tempfile"
require "yaml"

class VagrantLab
  Machine = Struct.new(:name, :memory_mib, :cpus, :migration_address, :lab_address)

  WATCH = "watch"
  WATCH_MEMORY_MIB = 1024
  BUILT_BOX = "labctl/debian-12"
  PUBLIC_BOX = "debian/bookworm64"
  MIGRATION = "10.77.0"
  LAB = "192.168.56" # what VirtualBox lets a host-only network have
  # A boot sector that tells QEMU's isa-debug-exit to end: mov dx, 0x501; mov al, 0x10; out dx, al; hlt.
  SECTOR = "\xBA\x01\x05\xB0\x10\xEE\xF4".b.ljust(510, "\0".b) + "\x55\xAA".b
  ENDED_BY_IT = 0x10 << 1 | 1
  # Of machines that are emulated: how many times longer than usual labctl waits for them, and how often Prometheus asks them.
  EMULATED = { "labctl_patience" => 5 }.freeze
  WATCHING_EMULATED = { "prometheus_node_interval" => "15s" }.freeze

  # What a machine is asked once it is up: its addresses, its keys, what it runs under, and whether its kernel has rxe.
  QUESTION = <<~SHELL.freeze
    ip -o -4 address show
    cat /etc/ssh/ssh_host_*_key.pub
    echo "under $(systemd-detect-virt)"
    ! modprobe -n -q rdma_rxe || echo rxe
  SHELL

  def initialize(root, settings = ENV)
    @root = root
    @settings = settings
    @provisioned = false
  end

  def machines
    hosts = (1..number_of_hosts).map do |number|
      Machine.new("h#{number}", whole("MEMORY", 2048), whole("CPUS", 2),
                  "#{MIGRATION}.#{10 + number}", "#{LAB}.#{10 + number}")
    end
    watch = Machine.new(WATCH, WATCH_MEMORY_MIB, 1, nil, "#{LAB}.10")
    whole("MONITORING", 1).zero? ? hosts : [*hosts, watch]
  end

  # Of this folder alone: two labs on one machine do not share it.
  def migration_network
    "#{File.basename(@root)}-migration"
  end

  def box
    built = File.join(Vagrant.user_data_path, "boxes", BUILT_BOX.gsub("/", "-VAGRANTSLASH-"))
    setting("BOX") || (File.directory?(built) ? BUILT_BOX : PUBLIC_BOX)
  end

  def public_box
    setting("BOX") || PUBLIC_BOX
  end

  # Only what makes a machine needs to know, so only then is it tried.
  def driver
    @driver ||= setting("DRIVER") || ((ARGV & %w[up reload]).any? && self.class.kvm? ? "kvm" : "qemu")
  end

  # There are machines with a /dev/kvm that is slower than emulation. Where this user may not try it, libvirt's own may.
  def self.kvm?(device = "/dev/kvm")
    return false unless File.exist?(device)
    return true unless File.readable?(device) && File.writable?(device)

    emulated = seconds_to_boot("tcg", 20)
    emulated.nil? || !seconds_to_boot("kvm", 2 * emulated + 1).nil?
  end

  # How long a boot sector takes; nil when it does not end in time, or there is no QEMU.
  def self.seconds_to_boot(accelerator, limit)
    Tempfile.create("labctl-boot") do |sector|
      sector.binmode
      sector.write(SECTOR)
      sector.close
      from = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      system("timeout", limit.to_s, "qemu-system-x86_64", "-accel", accelerator, "-nodefaults", "-display", "none",
             "-device", "isa-debug-exit,iobase=0x501,iosize=4", "-drive", "file=#{sector.path},format=raw",
             err: File::NULL)
      Process.clock_gettime(Process::CLOCK_MONOTONIC) - from if $?.exitstatus == ENDED_BY_IT
    end
  end

  # After each machine; when it was the last, all of them become a lab.
  def up(machine)
    all = machines.map { |each| machine.env.machine(each.name.to_sym, machine.provider_name) }
    return if @provisioned || all.any? { |each| each.state.id != :running }

    @provisioned = true
    answers = all.map { |each| answer(each) }
    write(answers)
    machine.ui.info("inventory/vagrant: #{answers.map { |each| each["name"] }.join(", ")}")
    provision(machine.ui)
  end

  # A lab that lacks a machine is none.
  def gone(machine)
    FileUtils.rm_rf(folder) if machine.id.nil?
  end

  def write(answers)
    FileUtils.mkdir_p(folder)
    # Its name's end keeps Ansible from reading it as an inventory.
    known_hosts = File.join(folder, "known_hosts.txt")
    File.write(known_hosts, self.class.known_hosts(answers))
    listing = self.class.inventory(answers, known_hosts, setting("RDMA"))
    File.write(File.join(folder, "hosts.yml"), "# Written by `vagrant up`, removed by `vagrant destroy`.\n#{listing.to_yaml}")
  end

  # The inventory, of what each machine is: "name", "host", "port", "user", "key" (SSH), "migration_address", "lab_address",
  # and "said", its answer to QUESTION.
  def self.inventory(answers, known_hosts, rdma = nil)
    hosts, watching = answers.partition { |each| each["migration_address"] }
    rdma ||= hosts.all? { |each| each["said"].match?(/^rxe$/) } ? "rxe" : "none"
    emulated = hosts.any? { |each| each["said"].match?(/^under qemu$/) }
    groups = { "hypervisors" => { "hosts" => hosts.to_h { |each| [each["name"], hypervisor(each)] },
                                  "vars" => { "rdma_provider" => rdma, **(emulated ? EMULATED : {}) } } }
    unless watching.empty?
      groups["monitoring"] = { "hosts" => watching.to_h { |each| [each["name"], watcher(each)] },
                               **(emulated ? { "vars" => WATCHING_EMULATED } : {}) }
    end
    vars = { "ansible_python_interpreter" => "/usr/bin/python3",
             "ansible_ssh_common_args" =>
               "-F none -o UserKnownHostsFile=#{known_hosts} -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes " \
               "-o IdentitiesOnly=yes",
             "time_sync_reference" => hosts.first["name"] }
    { "all" => { "vars" => vars, "children" => groups } }
  end

  # Each machine has told its keys over Vagrant's own connection, so that labctl and Ansible may check them.
  def self.known_hosts(answers)
    answers.flat_map do |each|
      place = each["port"] == 22 ? each["host"] : "[#{each["host"]}]:#{each["port"]}"
      each["said"].scan(/^(?:ssh|ecdsa)-\S+ \S+/).map { |key| "#{place} #{key}\n" }
    end.join
  end

  class << self
    private

    def hypervisor(answer)
      address = answer["migration_address"]
      interface = answer["said"][/^\d+: (\S+) +inet #{Regexp.escape(address)}\//, 1]
      raise "#{answer["name"]} has no interface with #{address}" if interface.nil?

      { **reached(answer), "labctl_address" => address_for_others(answer),
        "labctl_migration_interface" => interface, "labctl_migration_address" => "#{address}/24" }
    end

    def watcher(answer)
      { **reached(answer), "prometheus_listen" => address_for_others(answer) }
    end

    def reached(answer)
      { "ansible_host" => answer["host"], "ansible_port" => answer["port"], "ansible_user" => answer["user"],
        "ansible_ssh_private_key_file" => answer["key"] }
    end

    # Not through a port of this machine.
    def address_for_others(answer)
      answer["host"].start_with?("127.") ? answer["lab_address"] : answer["host"]
    end
  end

  private

  def folder
    File.join(@root, "inventory", "vagrant")
  end

  def setting(name)
    value = @settings["LABCTL_VAGRANT_#{name}"]
    value unless value.nil? || value.empty?
  end

  def whole(name, default)
    Integer(setting(name) || default.to_s, 10)
  rescue ArgumentError
    abort "LABCTL_VAGRANT_#{name} is no whole number: #{setting(name)}"
  end

  # Those that are there, so that `vagrant destroy` forgets none of them.
  def number_of_hosts
    there = Dir[File.join(@root, ".vagrant", "machines", "h*", "*", "id")].map { |path| path[%r{/h(\d+)/}, 1].to_i }
    number = whole("HOSTS", [2, *there.map { |each| each + each % 2 }].max)
    abort "LABCTL_VAGRANT_HOSTS is #{number}: hosts make pairs, so write 2, 4, ..." if number < 2 || number.odd?
    number
  end

  def answer(machine)
    ssh = machine.ssh_info
    said = +""
    machine.communicate.sudo(QUESTION) { |kind, text| said << text if kind == :stdout }
    plan = machines.find { |each| each.name == machine.name.to_s }
    { "name" => plan.name, "host" => ssh[:host], "port" => ssh[:port].to_i, "user" => ssh[:username],
      "key" => ssh[:private_key_path].first.to_s, "migration_address" => plan.migration_address,
      "lab_address" => plan.lab_address, "said" => said }
  end

  # The same as a person would type; of a lab that is there already it changes nothing.
  def provision(ui)
    labctl = [File.join(@root, ".venv", "bin"), *ENV["PATH"].split(":")].map { |bin| File.join(bin, "labctl") }
      .find { |path| File.executable?(path) }
    if labctl.nil?
      ui.warn("labctl is not installed, so the machines are as they booted. Mend: make setup; vagrant up")
      return
    end
    ansible = File.join(File.dirname(File.realpath(labctl)), "ansible-playbook")
    play(labctl, "lab", "provision", "inventory/vagrant", "--yes")
    play(ansible, "-i", "inventory/vagrant", "playbooks/monitoring.yml") if machines.last.name == WATCH
  end

  def play(*command)
    done = Vagrant::Util::Env.with_clean_env { system(*command, chdir: @root) }
    return if done

    raise Vagrant::Errors::VagrantError.new.tap { |error|
      text = "the machines are up, but are no lab yet: `#{command.join(" ")}` failed; `vagrant up` tries it again"
      error.define_singleton_method(:message) { text }
    }
  end
end
