# A display of which nothing is shown but its grey, VNC for it on a Unix socket, and noVNC.
Xvfb -displayfd 3 -screen 0 320x240x8 3>display >/dev/null 2>&1 &
until [ -s display ]; do sleep 0.1; done
x11vnc -display ":$(cat display)" -unixsock "$PWD/vnc.socket" -rfbport 0 -forever -nopw -q &
until [ -S vnc.socket ]; do sleep 0.1; done
exec websockify --web /usr/share/novnc --unix-target "$PWD/vnc.socket" "127.0.0.1:$1"
