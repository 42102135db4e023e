# $1 is the server's folder. Each line on standard input is the server's process id, `none` while
# it has none, or `keep` when nothing is to be cleaned up any more.
trap '' HUP INT TERM
pid=none
while read -r word; do
  if [ "$word" = keep ]; then exit 0; fi
  pid=$word
done

# The pipe has ended. An immediate shutdown lets the server free its shared memory, which SIGKILL
# would not; that comes after ten seconds. The server removes postmaster.pid as it ends; its process
# id can outlast it until the system reaps it.
if [ "$pid" != none ] && kill -QUIT "$pid"; then
  tries=0
  while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" && [ "$tries" -lt 600 ]; do
    tries=$((tries + 1))
    if [ "$tries" -eq 500 ]; then kill -KILL "$pid"; fi
    sleep 0.02
  done
fi
rm -rf -- "$1"
