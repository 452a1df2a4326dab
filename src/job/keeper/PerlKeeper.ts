/**
 * The keeper's program in Perl, which Debian and macOS always have: it forks ten times as fast as Node, tells a signal
 * from an equal exit code, gets arguments and variables without a command line, and needs 7 MB for any number of jobs.
 *
 * A shell will not do: dash gives what it runs in the background a SIGINT that is ignored for good, and cannot tell an
 * end by INT or PIPE from the exit codes 130 and 141.
 *
 * See `KeeperProtocol` for what it reads and writes. All signals are blocked but while it waits in sigsuspend(2), so
 * that none comes between looking and waiting.
 */
export const script = String.raw`
use strict; no warnings;
use POSIX (); use Fcntl;
my ($root, $bell, $sigio) = @ARGV;
$0 = 'holdfast-keeper';
chdir $root or exit 1;
POSIX::close($_) for 3 .. 255;
# Those that are waited for have handlers, which an exec drops by itself; the others stay blocked, also while it waits.
my $end_inputs = 0;
$SIG{CHLD} = $SIG{IO} = $SIG{ALRM} = sub {};
$SIG{USR1} = sub { $end_inputs = 1 };
my @others = map { POSIX->can("SIG$_")->() } qw(HUP INT TERM QUIT PIPE TSTP TTIN TTOU USR2);
my $others = POSIX::SigSet->new(@others);
my $all = POSIX::SigSet->new(@others, POSIX::SIGCHLD(), POSIX::SIGALRM(), POSIX::SIGUSR1(), $sigio);
my $none = POSIX::SigSet->new();
POSIX::sigprocmask(POSIX::SIG_BLOCK(), $all);
fcntl STDIN, F_SETOWN, $$ + 0;
fcntl STDIN, F_SETFL, fcntl(STDIN, F_GETFL, 0) | O_NONBLOCK | O_ASYNC;
pipe my $fault_out, my $fault_in;
fcntl $fault_out, F_SETFL, fcntl($fault_out, F_GETFL, 0) | O_NONBLOCK;
my $has_proc = -r '/proc/self/stat';
my (%jobs, %faults, @rings, @ends);
my $blank = ((' ' x 63) . "\n") x 2;
sysopen my $null, '/dev/null', O_RDONLY;
my ($asked, $is_told) = ('', 1);

sub text {
  my $text = '';
  sysopen my $file, $_[0], O_RDONLY or return '';
  while (sysread $file, $text, 4096, length $text) {}
  $text
}
sub begun {
  if ($has_proc) { my $stat = text("/proc/$_[0]/stat"); return (split ' ', substr $stat, 1 + rindex $stat, ')')[19] }
  local @ENV{'LC_ALL', 'TZ'} = ('C', 'UTC');
  join '_', split ' ', qx(ps -o lstart= -p $_[0])
}
sysopen my $clock, '/proc/uptime', O_RDONLY if $has_proc;
sub uptime {
  return '-' unless $has_proc;
  sysseek $clock, 0, 0;
  sysread $clock, my $text, 64;
  substr $text, 0, index $text, ' '
}

# The exit has a place in a file that is there already: a full disk cannot lose it.
sub note {
  my ($run_file, $at, $line, $run) = @_;
  $run or sysopen $run, $run_file, O_WRONLY or return $! == POSIX::ENOENT();
  sysseek $run, $at, 0;
  defined syswrite $run, sprintf "%-63s\n", $line
}
sub ended {
  my ($run_file, $line, $run) = @_;
  if (note($run_file, 64, $line, $run)) { push @rings, "x $run_file $line\n" } else { push @ends, [$run_file, $line] }
}
sub refuse { my ($run, $why) = @_; push @rings, "r $run $why\n" }

sub begin {
  my ($dir, $run_name, $out_name, $err_name, $cwd, $kind, $input, $inherit, $count, @rest) = split /\0/, $_[0], -1;
  my @command = splice @rest, 0, $count;
  my ($run_file, $in_file) = ("$dir/$run_name", "$dir/stdin");
  my ($run, $data, $hold, $out, $err);
  mkdir $dir, 0700;
  unless (sysopen $run, $run_file, O_WRONLY | O_CREAT | O_EXCL, 0600) {
    # Somebody has taken its place, so that it cannot begin any more.
    refuse($run_file, 'place ' . ($! + 0)) unless $! == POSIX::EEXIST();
    return;
  }
  my $made = syswrite($run, $blank) == 128
    && sysopen($out, "$dir/$out_name", O_WRONLY | O_CREAT | O_APPEND, 0600)
    && sysopen($err, "$dir/$err_name", O_WRONLY | O_CREAT | O_APPEND, 0600);
  if ($made && $kind eq 'bytes') {
    my $bytes = pack 'H*', $input;
    unlink $in_file;
    $made = sysopen($data, $in_file, O_RDWR | O_CREAT | O_EXCL, 0600) && unlink $in_file;
    $made &&= syswrite($data, $bytes) == length $bytes && defined sysseek $data, 0, 0;
  } elsif ($made && $kind eq 'null') {
    $data = $null;
  } elsif ($made && $kind eq 'pipe') {
    unlink $in_file, "$in_file.end";
    $made = POSIX::mkfifo($in_file, 0600) && sysopen $hold, $in_file, O_RDWR;
  }
  my $pid = $made ? fork : undef;
  unless (defined $pid) {
    my $why = ($made ? 'fork ' : 'place ') . ($! + 0);
    unlink $run_file, $in_file;
    return refuse($run_file, $why);
  }
  if ($pid == 0) {
    my $fail = sub { syswrite $fault_in, "$$ $_[0] " . ($! + 0) . "\n"; POSIX::_exit(127) };
    POSIX::setsid();
    POSIX::sigprocmask(POSIX::SIG_SETMASK(), $none);
    # May wait for a writer: not here.
    $data or sysopen($data, $kind eq 'file' ? $input : $in_file, O_RDONLY) or $fail->('stdin');
    POSIX::dup2(fileno $data, 0);
    POSIX::dup2(fileno $out, 1);
    POSIX::dup2(fileno $err, 2);
    chdir $cwd or $fail->('cwd');
    %ENV = () unless $inherit;
    for (@rest) { my ($name, $value) = split /=/, $_, 2; $ENV{$name} = $value }
    exec { $command[0] } @command;
    $fail->('exec');
  }
  my $line = "$pid " . begun($pid);
  sysseek $run, 0, 0;
  syswrite $run, sprintf "%-63s\n", $line;
  # Opened again at the end when there are many: each costs a descriptor.
  $jobs{$pid} = [$run_file, $hold, "$in_file.end", keys %jobs < 100 ? $run : undef];
  push @rings, "s $run_file $line\n";
}

sub reap {
  while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
    my $status = $?;
    my $job = delete $jobs{$pid} or next;
    my $said = '';
    while (sysread $fault_out, $said, 4096, length $said) {}
    for (split /\n/, $said) { my ($of, $why) = split ' ', $_, 2; $faults{$of} = $why }
    my $fault = delete $faults{$pid};
    my $how = defined $fault ? "fault $fault" : $status & 127 ? 'signal ' . ($status & 127) : 'code ' . ($status >> 8);
    ended($job->[0], "$how " . uptime(), $job->[3]);
  }
}

my $ear;
sub ring {
  return unless @rings;
  while (@rings) {
    # Up to 4,096 bytes go out whole, whoever else is ringing.
    my ($text, $count) = ('', 0);
    while ($count < @rings && length($text) + length $rings[$count] <= 4096) { $text .= $rings[$count++] }
    # Without a daemon there is nobody to tell, and the next one looks for itself.
    $ear or sysopen $ear, $bell, O_WRONLY | O_NONBLOCK or return @rings = ();
    unless (defined syswrite $ear, $text) {
      return if $! == POSIX::EAGAIN();
      $ear = undef;
      next;
    }
    splice @rings, 0, $count;
  }
}

while (1) {
  reap();
  while ($is_told) {
    my $got = sysread STDIN, $asked, 262144, length $asked;
    last if !defined $got && ($! == POSIX::EAGAIN() || $! == POSIX::EINTR());
    $is_told = 0 unless $got;
    while ($asked =~ /^(\d+)\n/ && length $asked >= $+[0] + $1) {
      my $request = substr $asked, $+[0], $1;
      substr($asked, 0, $+[0] + $1) = '';
      begin($request);
      reap();
      ring() if @rings > 20;
    }
  }
  if ($end_inputs) {
    $end_inputs = 0;
    for (values %jobs) { $_->[1] = undef if $_->[1] && -e $_->[2] }
  }
  if (@ends) { my @again = @ends; @ends = (); ended(@$_) for @again }
  ring();
  last if !$is_told && !%jobs && !@ends;
  alarm(@rings || @ends ? 1 : %jobs ? 10 : 0);
  POSIX::sigsuspend($others);
}
`
