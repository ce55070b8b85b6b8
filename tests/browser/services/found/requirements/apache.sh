# Where Apache's user can read it, as it cannot in the folder of a test.
digest=$(printf 'carol:bakery:carol-demo' | md5sum | cut -d' ' -f1)
echo "carol:bakery:$digest" >passwords
