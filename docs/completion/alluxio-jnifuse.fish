# Completion of alluxio-jnifuse for fish; made by `make docs`.
complete -c alluxio-jnifuse -f
complete -c alluxio-jnifuse -n __fish_use_subcommand -a mount -d 'mount a storage as a directory'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from mount' -s n -s f -l foreground -d 'stay in the foreground and log to the terminal'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from mount' -s o -l options -r -d 'mount options, separated by commas; alluxio.KEY=VALUE is a property (also: --fuse-opts)'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from mount' -s D -l define -r -d 'a property'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from mount' -s u -l ufs -r -d 'the storage to mount: a directory, file:///directory, oss://BUCKET/DIRECTORY, or alluxio://HOST:PORT/PATH; without it, the cluster that is configured'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from mount' -F
complete -c alluxio-jnifuse -n __fish_use_subcommand -a umount -d 'unmount it, unless it is in use'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from umount' -s l -l lazy -d 'detach a mount in use: files open in passthrough stay readable, others fail'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from umount' -s f -l force -d 'kill the process and detach the mount'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from umount' -s w -l wait -r -d 'how long to wait for the process to end (default 120)'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from umount' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a load -d 'read files of running mounts, so that they are cached'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -s j -l jobs -r -d 'how many files are read at once (default 16, with --follow 32)'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l include -r -d 'read only files whose name matches; a GLOB with a slash is compared with the path beneath PATH'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l exclude -r -d 'leave out files and directories that match'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l dry-run -d 'count the files, and read nothing'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l restart -d 'read everything; without it, an interrupted load of the same PATHs is continued'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -s q -l quiet -d 'print no progress and no summary'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l json -d 'print the summary as JSON'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l order -r -d 'read the files that FILE names, in that order; - is stdin. FILE has a path in each line, as alluxio-jnifuse trace --record writes it: absolute, or relative to PATH, which may be left out if one mount runs. Empty lines, and those that begin with # or ;, are skipped'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -s 0 -l null -d 'paths in FILE end with a NUL, as those of find -print0'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l follow -d 'read ahead of a program that opens the files in about this order, and wait for it'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l ahead -r -d 'how many files may wait for the program (default 1,024)'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -l ahead-size -r -d 'how many bytes (default 256MB), and one file more for each of --jobs'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from load' -F
complete -c alluxio-jnifuse -n __fish_use_subcommand -a trace -d 'record how each file is read, and what that costs'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -s o -l output -r -d 'write a line of JSON for each file that was open: by whom, in which pattern, how much was fetched for what was read, and how long requests waited; - is stdout, the default'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -l report -r -d 'sum such a file up: by pattern, by process, and which files stand out; - is stdin'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -l json -d 'print the report as one object; sizes in bytes, times in seconds'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -l record -r -d 'write the paths of files to FILE in the order in which they are opened, each once; - is stdout. alluxio-jnifuse load --order FILE reads them in that order'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -s 0 -l null -d 'end each path with a NUL, not with a newline'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -l every -d 'write a file each time that it is opened'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -s q -l quiet -d 'print no summary'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from trace' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a refresh -d 'forget attributes and listings, so that the next look asks the storage'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from refresh' -F
complete -c alluxio-jnifuse -n __fish_use_subcommand -a stat -d 'list the running mounts, or show the counters of one'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stat' -l json -d 'objects, one for each line'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stat' -l stats -r -d 'print counters and times of one mount as JSON'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stat' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a stats -d 'show what a mount does, as figures for a person'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stats' -s w -l watch -d 'a line for each interval, until interrupted or unmounted'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stats' -s i -l interval -r -d 'of --watch (default 1)'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stats' -s n -l count -r -d 'end after so many lines'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stats' -l json -d 'objects, one for each line; sizes in bytes, times in seconds, all rates per second'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from stats' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a why -d 'show who waits for what at this moment, and what stands out'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from why' -s p -l pid -r -d 'only the requests of this process, and what it does'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from why' -s s -l seconds -r -d 'how long to look (default 1)'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from why' -l json -d 'one object; sizes in bytes, times in seconds'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from why' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a health -d 'check that the running mounts answer, or one of them; for health checks'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from health' -l json -d 'objects, one for each mount and line: its problem is null if it has none'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from health' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a doctor -d 'find out what keeps mounts from working or from being fast, and say what to type'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from doctor' -s o -s D -s u -r -d 'as of alluxio-jnifuse mount: examines a mount that is not there yet, and mounts nothing'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from doctor' -s v -l verbose -d 'print what is well, too'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from doctor' -l json -d 'print an object with all findings'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from doctor' -l bundle -r -d 'write an archive (tar.gz) for a bug report, which nobody else may read: findings, versions, settings, counters and the end of logs, without secrets; FILE must not be there yet'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from doctor' -F
complete -c alluxio-jnifuse -n __fish_use_subcommand -a options -d 'show what can be set, or everything about one setting'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from options' -l json -d 'objects, one for each line'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from options' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a getConf -d 'show the value of a property, and where it is set'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from getConf' -l unit -r -d 'print a size in B, KB, MB, GB, TB or PB, a duration in MS, S, M, H or D'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from getConf' -l source -d 'print where the value comes from'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from getConf' -l master -d 'ask the cluster for its configuration, in place of this clients'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from getConf' -l json -d 'objects with name, value and source, one for each line'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from getConf' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-jnifuse -n __fish_use_subcommand -a version -d 'show the versions, and the features that this kernel grants'
complete -c alluxio-jnifuse -n '__fish_seen_subcommand_from version' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -f
complete -c alluxio-fuse -n __fish_use_subcommand -a mount -d 'mount a storage as a directory'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from mount' -s n -s f -l foreground -d 'stay in the foreground and log to the terminal'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from mount' -s o -l options -r -d 'mount options, separated by commas; alluxio.KEY=VALUE is a property (also: --fuse-opts)'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from mount' -s D -l define -r -d 'a property'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from mount' -s u -l ufs -r -d 'the storage to mount: a directory, file:///directory, oss://BUCKET/DIRECTORY, or alluxio://HOST:PORT/PATH; without it, the cluster that is configured'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from mount' -F
complete -c alluxio-fuse -n __fish_use_subcommand -a umount -d 'unmount it, unless it is in use'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from umount' -s l -l lazy -d 'detach a mount in use: files open in passthrough stay readable, others fail'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from umount' -s f -l force -d 'kill the process and detach the mount'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from umount' -s w -l wait -r -d 'how long to wait for the process to end (default 120)'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from umount' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a load -d 'read files of running mounts, so that they are cached'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -s j -l jobs -r -d 'how many files are read at once (default 16, with --follow 32)'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l include -r -d 'read only files whose name matches; a GLOB with a slash is compared with the path beneath PATH'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l exclude -r -d 'leave out files and directories that match'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l dry-run -d 'count the files, and read nothing'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l restart -d 'read everything; without it, an interrupted load of the same PATHs is continued'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -s q -l quiet -d 'print no progress and no summary'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l json -d 'print the summary as JSON'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l order -r -d 'read the files that FILE names, in that order; - is stdin. FILE has a path in each line, as alluxio-jnifuse trace --record writes it: absolute, or relative to PATH, which may be left out if one mount runs. Empty lines, and those that begin with # or ;, are skipped'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -s 0 -l null -d 'paths in FILE end with a NUL, as those of find -print0'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l follow -d 'read ahead of a program that opens the files in about this order, and wait for it'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l ahead -r -d 'how many files may wait for the program (default 1,024)'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -l ahead-size -r -d 'how many bytes (default 256MB), and one file more for each of --jobs'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from load' -F
complete -c alluxio-fuse -n __fish_use_subcommand -a trace -d 'record how each file is read, and what that costs'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -s o -l output -r -d 'write a line of JSON for each file that was open: by whom, in which pattern, how much was fetched for what was read, and how long requests waited; - is stdout, the default'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -l report -r -d 'sum such a file up: by pattern, by process, and which files stand out; - is stdin'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -l json -d 'print the report as one object; sizes in bytes, times in seconds'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -l record -r -d 'write the paths of files to FILE in the order in which they are opened, each once; - is stdout. alluxio-jnifuse load --order FILE reads them in that order'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -s 0 -l null -d 'end each path with a NUL, not with a newline'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -l every -d 'write a file each time that it is opened'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -s q -l quiet -d 'print no summary'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from trace' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a refresh -d 'forget attributes and listings, so that the next look asks the storage'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from refresh' -F
complete -c alluxio-fuse -n __fish_use_subcommand -a stat -d 'list the running mounts, or show the counters of one'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stat' -l json -d 'objects, one for each line'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stat' -l stats -r -d 'print counters and times of one mount as JSON'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stat' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a stats -d 'show what a mount does, as figures for a person'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stats' -s w -l watch -d 'a line for each interval, until interrupted or unmounted'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stats' -s i -l interval -r -d 'of --watch (default 1)'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stats' -s n -l count -r -d 'end after so many lines'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stats' -l json -d 'objects, one for each line; sizes in bytes, times in seconds, all rates per second'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from stats' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a why -d 'show who waits for what at this moment, and what stands out'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from why' -s p -l pid -r -d 'only the requests of this process, and what it does'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from why' -s s -l seconds -r -d 'how long to look (default 1)'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from why' -l json -d 'one object; sizes in bytes, times in seconds'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from why' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a health -d 'check that the running mounts answer, or one of them; for health checks'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from health' -l json -d 'objects, one for each mount and line: its problem is null if it has none'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from health' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a doctor -d 'find out what keeps mounts from working or from being fast, and say what to type'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from doctor' -s o -s D -s u -r -d 'as of alluxio-jnifuse mount: examines a mount that is not there yet, and mounts nothing'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from doctor' -s v -l verbose -d 'print what is well, too'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from doctor' -l json -d 'print an object with all findings'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from doctor' -l bundle -r -d 'write an archive (tar.gz) for a bug report, which nobody else may read: findings, versions, settings, counters and the end of logs, without secrets; FILE must not be there yet'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from doctor' -F
complete -c alluxio-fuse -n __fish_use_subcommand -a options -d 'show what can be set, or everything about one setting'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from options' -l json -d 'objects, one for each line'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from options' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a getConf -d 'show the value of a property, and where it is set'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from getConf' -l unit -r -d 'print a size in B, KB, MB, GB, TB or PB, a duration in MS, S, M, H or D'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from getConf' -l source -d 'print where the value comes from'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from getConf' -l master -d 'ask the cluster for its configuration, in place of this clients'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from getConf' -l json -d 'objects with name, value and source, one for each line'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from getConf' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
complete -c alluxio-fuse -n __fish_use_subcommand -a version -d 'show the versions, and the features that this kernel grants'
complete -c alluxio-fuse -n '__fish_seen_subcommand_from version' -a "(awk '\$3 == \"fuse.alluxio-fuse\" { print \$2 }' /proc/self/mounts)"
